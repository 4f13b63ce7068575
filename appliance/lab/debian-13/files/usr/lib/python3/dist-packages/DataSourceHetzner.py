"""cloud-init's Hetzner data source for machines that have no DMI: the lab's containers.

cloud-init looks for data sources at the top level first, so this one stands in front of its own and
inherits from it. Same URLs, same answers; only the proof "this is Hetzner" by DMI is left out, and DHCP,
since the lab's wire has its public address before the machine boots.
"""

from __future__ import annotations

from cloudinit import sources, util  # type: ignore[import-not-found]
from cloudinit.sources import DataSourceHetzner as stock  # type: ignore[import-not-found]  # noqa: N813
from cloudinit.url_helper import UrlError, readurl  # type: ignore[import-not-found]


class DataSourceHetzner(stock.DataSourceHetzner):  # type: ignore[misc]
    def _get_data(self) -> bool:
        metadata = util.load_yaml(self._read(self.metadata_address).decode())
        self.userdata_raw = util.maybe_b64decode(self._read(self.userdata_address))
        self.metadata_full = metadata
        self.metadata["instance-id"] = metadata["instance-id"]
        self.metadata["local-hostname"] = metadata["hostname"]
        self.metadata["public-keys"] = metadata.get("public-keys")
        self.vendordata_raw = metadata.get("vendor_data")
        return True

    def _read(self, url: str) -> bytes:
        """Waits for a service that is silent, not for one that says there is nothing."""
        try:
            answer = readurl(
                url,
                timeout=self.timeout,
                sec_between=self.wait_retry,
                retries=self.retries,
                exception_cb=lambda error: error.code is None,
            )
        except UrlError as error:
            if error.code == 404:
                return b""
            raise
        return bytes(answer.contents)

    def check_instance_id(self, sys_cfg: object) -> bool:
        """There is no serial number to compare with: ask again at every boot."""
        return False

    @property
    def network_config(self) -> dict[str, object]:
        """The wire is configured; private NICs are left to the image, as on Hetzner."""
        return {"version": 1, "config": "disabled"}


datasources = [(DataSourceHetzner, (sources.DEP_FILESYSTEM,))]


def get_datasource_list(depends: object) -> object:
    return sources.list_from_depends(depends, datasources)
