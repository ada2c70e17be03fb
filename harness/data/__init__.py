"""Data tools: rows of training data, streamed, checked, converted, and cleared of what must not be in them."""
