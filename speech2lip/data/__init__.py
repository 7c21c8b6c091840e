"""A preprocessed subject as arrays that training reads."""
