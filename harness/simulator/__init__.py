"""Exercises on data structures whose facts are computed: families, bugs, items, and the words they are put in."""
