"""Rate: one text at a time on the rubric's form."""

from app.components import work

work.main("rate")
