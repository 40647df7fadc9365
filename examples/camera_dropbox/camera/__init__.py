"""Camera Dropbox: a gridworld in which a robot can cheat the camera that watches it."""
