"""Waveforms, spectrograms and the audio features that drive the lips."""
