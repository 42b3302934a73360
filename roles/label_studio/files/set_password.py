"""Gives Label Studio's administrator the password of this environment: launch.sh starts it in Label Studio's Python."""

import importlib.util
import os
import sys

site = importlib.util.find_spec("label_studio").submodule_search_locations[0]
sys.path.insert(0, site)
os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings.label_studio"

import django  # noqa: E402

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402

user = get_user_model().objects.get(email=os.environ["LABEL_STUDIO_USERNAME"])
if not user.check_password(os.environ["LABEL_STUDIO_PASSWORD"]):
    user.set_password(os.environ["LABEL_STUDIO_PASSWORD"])
    user.save()
    print("changed")  # noqa: T201
