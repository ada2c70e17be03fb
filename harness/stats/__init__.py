"""Statistics of the board: intervals, comparisons, ranks, power, agreement, judge correction. Import the modules."""
