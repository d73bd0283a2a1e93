"""Use a trained student: solve a question, review the solution, stop by the student's own verdict."""
