"""The authors' own files become ours."""
