"""What a training will take, on paper: memory of a device, bytes moved a step, hours an epoch."""
