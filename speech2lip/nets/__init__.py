"""Networks. They know no paths, no configuration files and no subjects."""
