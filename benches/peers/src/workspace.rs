//! The files of a comparison: zones of each size, the geography, and a directory for each server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::geography::{Geography, PLACES, Place};
use crate::zones::{self, Steering};

/// Names of the zone on which all is measured that does not say another size.
pub const USUAL_NAMES: u32 = 1_000;

/// Where they are.
pub struct Workspace {
    root: PathBuf,
    /// The geography, opened.
    pub geography: Geography,
}

impl Workspace {
    /// Writes what all servers share, anew.
    pub fn create(root: &Path, sources: &Path, sizes: &[u32]) -> Result<Self> {
        let zones = root.join("zones");
        fs::create_dir_all(&zones).with_context(|| zones.display().to_string())?;
        let root = root.canonicalize().with_context(|| root.display().to_string())?;
        let geography = Geography::build(sources, &geography_path(&root)).context("making the geography")?;
        let workspace = Self { root, geography };
        for &names in sizes {
            zones::write_plain(&workspace.zone(names), names).context("writing zones")?;
            zones::write(&workspace.gdnsd_zone(names), names, Steering::Gdnsd).context("writing zones")?;
        }
        for place in &PLACES {
            zones::write(&workspace.zone_at(place), USUAL_NAMES, Steering::At(place)).context("writing zones")?;
        }
        Ok(workspace)
    }

    /// The zone of so many names.
    pub fn zone(&self, names: u32) -> PathBuf {
        self.root.join(format!("zones/{names}.zone"))
    }

    /// The same for gdnsd.
    pub fn gdnsd_zone(&self, names: u32) -> PathBuf {
        self.root.join(format!("zones/{names}.gdnsd.zone"))
    }

    /// The usual zone as clients of a place should see it.
    pub fn zone_at(&self, place: &Place) -> PathBuf {
        self.root.join(format!("zones/{}.zone", place.name))
    }

    /// The database of the geography.
    pub fn geography_path(&self) -> PathBuf {
        geography_path(&self.root)
    }

    /// An empty directory for a server's configuration, state and log.
    pub fn server_directory(&self, label: &str) -> Result<PathBuf> {
        let directory = self.root.join(label);
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
        }
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        Ok(directory)
    }

    /// A file that anything else is kept in.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

fn geography_path(root: &Path) -> PathBuf {
    root.join("GeoLite2-Country.mmdb")
}
