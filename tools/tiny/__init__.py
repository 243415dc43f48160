"""How the weights of tiny were made and are judged."""
