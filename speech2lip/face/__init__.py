"""From frames to geometry: shots, faces, landmarks, rigid tracking, canonical space."""
