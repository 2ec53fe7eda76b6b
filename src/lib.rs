//! weaviate-provisioner
