"""What moves: videos that clients send, and sources that are watched."""
