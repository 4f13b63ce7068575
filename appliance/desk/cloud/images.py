"""Base images and snapshots at the cloud."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.contract.trouble import CloudTrouble
from appliance.desk.cloud import read
from appliance.desk.cloud.servers import SNAPSHOT_SECONDS, Calls, OnProgress
from appliance.desk.cloud.wire import Raw
from appliance.desk.model import Image


class ImageCalls(Calls):
    def base_image(self, name: str, architecture: str) -> Image:
        """The system image, e.g. debian-13 for x86."""
        rows = self._wire.list(
            f"look for image {name}", "/images", type="system", name=name, architecture=architecture
        )
        if not rows:
            raise CloudTrouble(
                f"The cloud has no image {name} for {architecture}",
                fix="correct image.base in appliance.yaml",
            )
        return read.image(rows[0])

    def snapshots(self, labels: Mapping[str, str]) -> tuple[Image, ...]:
        """Ours with these labels that are available, newest first."""
        rows = self._list_snapshots(labels)
        images = [read.image(r) for r in rows if r["status"] == "available"]
        return tuple(sorted(images, key=lambda i: (i.created, i.id), reverse=True))

    def create_snapshot(
        self,
        server_id: int,
        description: str,
        labels: Mapping[str, str],
        on_progress: OnProgress | None = None,
    ) -> Image:
        """Return once it is available; one of this server with the same description is waited for instead."""
        doing = f"create snapshot {description!r}"

        def find() -> tuple[int, list[Raw]] | None:
            for row in self._list_snapshots({}):
                source = row["created_from"] or {}
                if (row["description"], source.get("id")) == (description, server_id):
                    return row["id"], []
            return None

        image_id, actions = self._wire.once(
            doing,
            f"/servers/{server_id}/actions/create_image",
            {"type": "snapshot", "description": description, "labels": self._own(labels)},
            find=find,
            made=lambda answer: (answer["image"]["id"], [answer["action"]]),
        )
        self._wire.wait(doing, actions, SNAPSHOT_SECONDS, on_progress)

        def available() -> Image | None:
            image = read.image(self._wire.get(doing, f"/images/{image_id}")["image"])
            if image.status == "unavailable":
                self.delete_image(image_id)
                raise CloudTrouble(f"The cloud failed to {doing}", fix="run the command again")
            return image if image.status == "available" else None

        return self._wire.until(doing, available, SNAPSHOT_SECONDS)

    def label_image(self, image_id: int, labels: Mapping[str, str]) -> Image:
        """Replace the whole label set; the appliance's own label is added."""
        body = {"labels": self._own(labels)}
        return read.image(self._wire.put("label the snapshot", f"/images/{image_id}", body)["image"])

    def delete_image(self, image_id: int) -> None:
        self._wire.delete("delete the snapshot", f"/images/{image_id}")

    def _list_snapshots(self, labels: Mapping[str, str]) -> list[Raw]:
        selector = self._select(labels)
        return self._wire.list("list the snapshots", "/images", type="snapshot", label_selector=selector)
