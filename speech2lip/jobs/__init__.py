"""Work in processes of its own: ordered, queued, carried out, and found again after a restart."""
