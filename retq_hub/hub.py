"""The only module that talks to a Hugging Face Hub; the client's own settings and login count."""

from pathlib import Path

from retq_hub.errors import NetworkError, NotFoundError, StorageError, is_storage

__all__ = ["download"]


def download(repo: str, *, revision: str, filename: str) -> Path:
    """Give the local copy of one file of a Hub repository, out of the client's own cache.

    Args:
        repo: ``namespace/name``.
        revision: Commit, tag or branch.
        filename: Path in the repository.

    Raises:
        NotFoundError: There is no such repository, revision or file.
        NetworkError: The hub did not deliver, or the repository is gated.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # the one it uses

    what = f"{repo}@{revision}/{filename}"
    try:
        return Path(hf_hub_download(repo, filename, revision=revision))
    except GatedRepoError as error:
        raise NetworkError(
            f"{repo} is gated", hint="accept its terms on the Hub, then `hf auth login`"
        ) from error
    except LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            answer = error.__cause__.response
            raise NetworkError(
                f"{what} was not delivered: the Hub answered {answer.status_code} "
                f"{answer.reason_phrase}",
                hint="check your login, or try again later",
            ) from error
        raise NetworkError(
            f"{what} cannot be reached and is not in the local cache",
            hint="check the network, HF_ENDPOINT and HF_HUB_OFFLINE",
        ) from error
    except (
        RepositoryNotFoundError,
        RevisionNotFoundError,
        EntryNotFoundError,
        HFValidationError,
    ) as error:
        raise NotFoundError(
            f"the Hub has no {what} (or your login may not see it)", hint="check name and login"
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        if isinstance(error, OSError) and is_storage(error):
            raise StorageError(f"the Hub's cache cannot be written: {error.strerror}") from error
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetworkError(f"{what} was not delivered: {line}", hint="try again later") from error
