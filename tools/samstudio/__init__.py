"""Put SAM 2 behind Label Studio and keep it there: addresses, registration, verification, diagnosis."""
