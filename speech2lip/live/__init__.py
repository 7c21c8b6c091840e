"""Conversations: a face that speaks while sound arrives, and rests while none does."""
