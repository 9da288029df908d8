"""From logged robot episodes to a fine-tuned policy that earned its place."""
