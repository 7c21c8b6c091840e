"""Networks that only ever load published weights."""
