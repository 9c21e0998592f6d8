"""Makes the bucket that Martlet's settings name, if it is not there yet. Runs in any of Martlet's images."""

import os

import boto3
from botocore.exceptions import ClientError

PRESENT = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")

if __name__ == "__main__":
    store = boto3.client(
        "s3",
        endpoint_url=os.environ["MARTLET_ARTIFACTS_ENDPOINT"],
        region_name=os.environ["MARTLET_ARTIFACTS_REGION"],
    )
    try:
        store.create_bucket(Bucket=os.environ["MARTLET_ARTIFACTS_BUCKET"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in PRESENT:
            raise
