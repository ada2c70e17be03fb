"""Compare blind: two texts side by side, nobody's name on them."""

from app.components import work

work.main("compare")
