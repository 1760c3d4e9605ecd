"""Our side, where it is no service as a whole: parts of it, each as a process of its own."""
