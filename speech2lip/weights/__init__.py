"""Optional files that users bring: registry, download, safe reading, loaders."""
