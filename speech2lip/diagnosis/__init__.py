"""Whether a video will work, before anybody waits for hours: findings with their frames, and a forecast."""
