"""What happened: the delivery log as operators read it, its event stream, its retention."""
