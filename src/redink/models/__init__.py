"""Models: those that chat (teachers, inspectors) and the student that is trained."""
