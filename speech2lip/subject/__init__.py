"""A preprocessed subject: its folder, records, index and resident data."""
