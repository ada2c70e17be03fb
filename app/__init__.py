"""The web app: reads run folders and published boards, and shows them. It computes nothing: `harness.board` does."""
