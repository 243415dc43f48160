"""What is measured on: databases, decoded images, splits, and the rendered demo."""
