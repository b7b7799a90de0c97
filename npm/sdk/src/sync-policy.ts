/**
 * When the files of a context are carried between it and a session, and which.
 *
 * @module
 */

/** When files are carried from the session into the context. */
export enum UploadStrategy {
  /** Before the session is released. */
  UPLOAD_BEFORE_RESOURCE_RELEASE = "UploadBeforeResourceRelease",
}

/** When files are carried from the context into the session. */
export enum DownloadStrategy {
  /** While the session starts. */
  DOWNLOAD_ASYNC = "DownloadAsync",
}

/** How files are kept in the context. Do not change it for a context that has files. */
export enum UploadMode {
  /** One by one. */
  FILE = "File",
  /** As one `.zip`. */
  ARCHIVE = "Archive",
}

/** After how long the files of a context are deleted. */
export enum Lifecycle {
  LIFECYCLE_1DAY = "Lifecycle_1Day",
  LIFECYCLE_3DAYS = "Lifecycle_3Days",
  LIFECYCLE_5DAYS = "Lifecycle_5Days",
  LIFECYCLE_7DAYS = "Lifecycle_7Days",
  LIFECYCLE_10DAYS = "Lifecycle_10Days",
  LIFECYCLE_15DAYS = "Lifecycle_15Days",
  LIFECYCLE_30DAYS = "Lifecycle_30Days",
  LIFECYCLE_90DAYS = "Lifecycle_90Days",
  LIFECYCLE_180DAYS = "Lifecycle_180Days",
  LIFECYCLE_360DAYS = "Lifecycle_360Days",
  LIFECYCLE_FOREVER = "Lifecycle_Forever",
}

/** What is carried into the context. */
export type UploadPolicy = {
  /** Whether it happens by itself. Default `true`. */
  autoUpload?: boolean;
  uploadStrategy?: UploadStrategy;
  /** Default `UploadMode.FILE`. */
  uploadMode?: UploadMode;
};

/** What is carried into the session. */
export type DownloadPolicy = {
  /** Whether it happens by itself. Default `true`. */
  autoDownload?: boolean;
  downloadStrategy?: DownloadStrategy;
};

/** What becomes of files that are deleted in the session. */
export type DeletePolicy = {
  /** Whether they are deleted in the context, too. Default `true`. */
  syncLocalFile?: boolean;
};

/** What becomes of archives that are carried into the session. */
export type ExtractPolicy = {
  /** Whether they are extracted. Default `true`. */
  extract?: boolean;
  /** Whether the archive is deleted afterwards. Default `true`. */
  deleteSrcFile?: boolean;
  /** Whether they are extracted where they are, not in a folder of their name. Default `false`. */
  extractCurrentFolder?: boolean;
};

/** When files of the context are deleted. */
export type RecyclePolicy = {
  /** Default `Lifecycle.LIFECYCLE_FOREVER`. */
  lifecycle?: Lifecycle;
  /** Which, without wildcards. Default `[""]`: all. */
  paths?: string[];
};

/** Files that are carried: only those below `path`, without those below `excludePaths`. */
export type WhiteList = {
  path: string;
  excludePaths?: string[];
};

/** Which files are carried; all of them where the list is empty. */
export type BWList = {
  whiteLists: WhiteList[];
};

/** Where an earlier session had the files, if the new one is to have them elsewhere. */
export type MappingPolicy = {
  path: string;
};

/** Everything about one context of a session. What is left out has its default. */
export type SyncPolicy = {
  uploadPolicy?: UploadPolicy;
  downloadPolicy?: DownloadPolicy;
  deletePolicy?: DeletePolicy;
  extractPolicy?: ExtractPolicy;
  recyclePolicy?: RecyclePolicy;
  bwList?: BWList;
  mappingPolicy?: MappingPolicy;
};

/** An upload policy with its defaults. */
export function newUploadPolicy(options: UploadPolicy = {}): Required<UploadPolicy> {
  const { autoUpload = true, uploadStrategy = UploadStrategy.UPLOAD_BEFORE_RESOURCE_RELEASE, uploadMode = UploadMode.FILE } = options;
  return { autoUpload, uploadStrategy, uploadMode };
}

/** A download policy with its defaults. */
export function newDownloadPolicy(options: DownloadPolicy = {}): Required<DownloadPolicy> {
  const { autoDownload = true, downloadStrategy = DownloadStrategy.DOWNLOAD_ASYNC } = options;
  return { autoDownload, downloadStrategy };
}

/** A delete policy with its default. */
export function newDeletePolicy({ syncLocalFile = true }: DeletePolicy = {}): Required<DeletePolicy> {
  return { syncLocalFile };
}

/** An extract policy with its defaults. */
export function newExtractPolicy(options: ExtractPolicy = {}): Required<ExtractPolicy> {
  const { extract = true, deleteSrcFile = true, extractCurrentFolder = false } = options;
  return { extract, deleteSrcFile, extractCurrentFolder };
}

/**
 * A recycle policy with its defaults.
 *
 * @throws TypeError for a path with a wildcard.
 */
export function newRecyclePolicy({ lifecycle = Lifecycle.LIFECYCLE_FOREVER, paths = [""] }: RecyclePolicy = {}): Required<RecyclePolicy> {
  const wild = paths.find((path) => /[*?[\]]/.test(path));
  if (wild !== undefined) {
    throw new TypeError(`Wildcard patterns are not supported in recycle policy paths: ${wild}. Name a file or a folder`);
  }
  return { lifecycle, paths };
}

/** A {@link SyncPolicy} that has all its parts; only `mappingPolicy` may be absent. */
export type FullSyncPolicy = {
  uploadPolicy: Required<UploadPolicy>;
  downloadPolicy: Required<DownloadPolicy>;
  deletePolicy: Required<DeletePolicy>;
  extractPolicy: Required<ExtractPolicy>;
  recyclePolicy: Required<RecyclePolicy>;
  bwList: BWList;
  mappingPolicy?: MappingPolicy;
};

/** A policy with the defaults of each of its parts. */
export function newSyncPolicy(options: SyncPolicy = {}): FullSyncPolicy {
  return {
    uploadPolicy: newUploadPolicy(options.uploadPolicy),
    downloadPolicy: newDownloadPolicy(options.downloadPolicy),
    deletePolicy: newDeletePolicy(options.deletePolicy),
    extractPolicy: newExtractPolicy(options.extractPolicy),
    recyclePolicy: newRecyclePolicy(options.recyclePolicy),
    bwList: { whiteLists: options.bwList?.whiteLists ?? [] },
    ...(options.mappingPolicy && { mappingPolicy: options.mappingPolicy }),
  };
}

/** A policy as the service takes it: a plain object of what is set. */
export function syncPolicyToDict(policy?: SyncPolicy | null): Record<string, unknown> {
  const dict: Record<string, unknown> = {};
  for (const [name, part] of Object.entries(policy ?? {})) {
    if (part === undefined || part === null) {
      continue;
    }
    const fields = Object.entries(part as object).filter(([, value]) => value !== undefined && value !== null);
    const renamed = fields.map(([field, value]) => [field === "extractCurrentFolder" ? "extractToCurrentFolder" : field, value]);
    dict[name] = Object.fromEntries(renamed);
  }
  return dict;
}
