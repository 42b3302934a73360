"""One secret in place of another: `samstudio secrets rotate`.

The next value is written down before anything else knows it (`SecretStore.next`; of the backend's password, as a second
line of its file). It becomes the secret's value once everything works with it. Whoever was cut off types the same
command again.
"""
