"""The artifact store on S3, or on what speaks its protocol."""
