"""The HTTP face: the application, basic auth, bodies, answers, and the test page."""
