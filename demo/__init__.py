"""A small checkout service with a real history and real bugs; imports nothing of Halon itself."""
