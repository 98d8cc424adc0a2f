"""What a source is: opened with a diagnosis where that fails, and listened to for a while."""
