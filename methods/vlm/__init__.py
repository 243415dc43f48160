"""Vision-language models as methods: a server that speaks OpenAI's protocol, or transformers."""
