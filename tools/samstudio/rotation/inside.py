"""The administrator's password in Label Studio itself, which none of its addresses changes without the old one."""

from __future__ import annotations

import subprocess

from samstudio import as_label_studio
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError

SECONDS = 300
#: The administrator gets the password of the environment, which launch.sh makes of the container's copy of the secret.
PROGRAM = f"""{as_label_studio.ENTER}from django.contrib.auth import get_user_model
user = get_user_model().objects.get(email=os.environ["LABEL_STUDIO_USERNAME"])
if not user.check_password(os.environ["LABEL_STUDIO_PASSWORD"]):
    user.set_password(os.environ["LABEL_STUDIO_PASSWORD"])
    user.save()
    print("changed")
"""


def give_password(deployment: Deployment) -> bool:
    """Make the password in Label Studio's own copy of the secrets its administrator's; whether it was another one.

    Raises:
        SamstudioError: Label Studio's container does not run, or it has no such user.
    """
    done = subprocess.run(
        command(deployment), input=PROGRAM, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        raise SamstudioError(
            "Label Studio's administrator could not be given a password.",
            link="label-studio",
            found=as_label_studio.last_words(done) or "no word from Label Studio",
            expected=f"{deployment.label_studio.container} to run, and a user {deployment.label_studio.admin_email}",
            command=f"docker logs --tail 20 {deployment.label_studio.container}",
        )
    return "changed" in done.stdout.splitlines()


def command(deployment: Deployment) -> list[str]:
    """What runs a program, given on its stdin, with the environment of Label Studio."""
    return as_label_studio.command(deployment.label_studio.container, "-")
