"""EasyDS Bench: which checkpoint guides best, is the difference real, and what does it cost?"""

__version__ = "0.1.0"
