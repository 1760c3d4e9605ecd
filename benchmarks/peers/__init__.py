"""R2, R3, R4 and R4b: the same work done by other task queues, on the same servers, in turns with our senders."""
