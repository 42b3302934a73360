"""Folders of images as tasks: one local-files import storage a folder, synced on each run."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from samstudio.labelstudio.client import LabelStudio, LabelStudioError, api_errors

if TYPE_CHECKING:
    from label_studio_sdk.types.local_files_import_storage import LocalFilesImportStorage
else:
    LocalFilesImportStorage = Any

#: What a browser shows. TIFF and DICOM are not among them.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
PATTERN = r"(?i).*\.(png|jpe?g|webp|bmp|gif)$"


def images_in(folder: Path) -> tuple[list[Path], int]:
    """The images Label Studio would import from a folder and below, and how many other files lie beside them."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    return images, len(files) - len(images)


def existing(studio: LabelStudio, project: int, path: PurePosixPath) -> LocalFilesImportStorage | None:
    with api_errors(f"list the image folders of project {project}"):
        storages = studio.sdk.import_storage.local.list(project=project)
    return next((storage for storage in storages or [] if PurePosixPath(storage.path or "") == path), None)


def create(studio: LabelStudio, project: int, path: PurePosixPath) -> LocalFilesImportStorage:
    """Connect a folder as Label Studio sees it.

    Raises:
        LabelStudioError: the folder is not there for Label Studio, or lies outside its document root.
    """
    try:
        with api_errors(f"connect the image folder {path}"):
            created: LocalFilesImportStorage = studio.sdk.import_storage.local.create(
                project=project,
                path=str(path),
                title=f"Images in {path}",
                use_blob_urls=True,
                recursive_scan=True,
                regex_filter=PATTERN,
            )
            return created
    except LabelStudioError as error:
        error.expected = "the folder mounted into Label Studio, below LOCAL_FILES_DOCUMENT_ROOT, and serving enabled"
        error.command = "./samstudio deploy"
        raise


def sync(studio: LabelStudio, storage: LocalFilesImportStorage) -> int:
    """Import the files that are not tasks yet.

    Returns:
        how many tasks were created.
    """
    with api_errors(f"import the images in {storage.path}"):
        synced = studio.sdk.import_storage.local.sync(int(storage.id or 0))
    if str(synced.status).startswith("failed"):
        raise LabelStudioError(
            f"Label Studio could not import {storage.path}.",
            link="label-studio",
            found=str(synced.model_dump().get("traceback") or synced.status),
            expected="readable images",
            command=f"ls -l {storage.path}   # in the Label Studio container",
        )
    return int(synced.last_sync_count or 0)
