"""What a hubconf and its repository say about themselves, read without running any of it."""
