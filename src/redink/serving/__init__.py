"""Serve a student: a chat endpoint as OpenAI has it, self-correction behind it, and a page that shows the red ink."""
