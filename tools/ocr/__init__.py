"""Reading all words on a picture through a running server: the three ways to ask, drawing, measuring."""
