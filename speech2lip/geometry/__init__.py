"""Cameras, poses, warps and rasterization."""
