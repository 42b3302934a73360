"""Label Studio as a WSGI application, its database migrated and its administrator made, with one import of Django."""

import os
import sys

from django.core.wsgi import get_wsgi_application
from django.db import connections
from label_studio import server

sys.argv = ["label-studio", "init", "--quiet"]
server.main()
os.environ.pop("LABEL_STUDIO_PASSWORD", None)
# Workers are forked from here, and none may share a connection.
connections.close_all()
application = get_wsgi_application()
