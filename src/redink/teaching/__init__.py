"""Teachers and inspectors: by an LLM through the prompts, or `reference`, offline by rule."""
