"""What the pages share: words, choices kept in the address, text of models, numbers, charts, data, downloads."""
